// Package provision has the nouns of provisioning and the pipeline that every request of a phone goes through.
//
// A request has one shape ([Request]) whatever it came by: DHCP, TFTP, HTTP. [Pipeline.Handle] takes it through six
// stages, one file each:
//
//   - extract: the lease table, the request and every plugin's rules make claims about who asks; [Conclude] weighs
//     them, strongest source first, and keeps every contradiction;
//   - retrieve: the device with that MAC, serial number or UUID is looked up; an unknown one is added if the policy of
//     its network says so, or else remembered as a sighting;
//   - update: what the device lacks is filled in, a plugin is associated by its support score, and a device without a
//     config gets one;
//   - route: the device's plugin names the rule for the path; a path that names another device ends here;
//   - guard: may this identity have what the rule's file gives away?
//   - answer: the config is flattened through its parents and the template rendered, or the file opened.
//
// Each stage writes what it concluded into the [Outcome], which is all that the console, the log, the counters and
// `dialtone explain` ever read. A lease is a request that ends after the third stage ([Pipeline.Observe]);
// [Pipeline.Explain] runs the same code over stores that discard what is written; [Pipeline.Adopt] makes a device of a
// sighting by an administrator's decision.
//
// Three rules keep one phone from being taken for another. A request that contradicts itself or the lease table teaches
// the device's record nothing and gets no file of class device or secret. A guess, such as the name of a file that many
// phones ask for, neither adds a device nor fills in a fact. And the record completes what is known of a device, but it
// proves nothing about who asks.
//
// The package does no input or output of its own: leases, devices, configs and plugins come by the small interfaces
// that it declares.
package provision
