// Package plugin hosts vendor plugins: it loads their directories, keeps the newest working version of each in force
// and swaps them while requests are served.
//
// A plugin is data, never a program. [Load] turns one directory into an immutable [Plugin] and touches nothing else;
// [Host] watches the folder of plugins and publishes the set in force with one atomic store, so that a request that
// took the set sees wholly the old plugins or wholly the new ones. What a manifest may say is listed at [Manifest];
// what a template may do, in package render.
//
// # The directory
//
//	aastra-67xx-3.3.1/        the name is the plugin's ID: letters, digits, ".", "_", "-"
//	    plugin.yaml           the manifest
//	    templates/            *.tmpl, named in the manifest and by {{template}} by their path below this folder
//	    files/                served as they are
//	    tests/*.txtar         golden requests, see package golden
//
// Anything else in it is ignored, and so is any name that begins with a dot. All reading goes through one [os.Root] per
// plugin; a symbolic link or anything else that isn't a plain file or a directory is an error that names it.
//
// The administrator's own versions of templates and files lie in overlays/ID/templates and overlays/ID/files of the
// state folder. They replace the plugin's of the same name or stand beside them, and no upgrade touches them. Firmware
// isn't part of a plugin: whatever lies in firmware/ID of the state folder is what its firmware routes serve.
package plugin
