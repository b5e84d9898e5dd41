// Package configs has what an appliance starts with: its [Settings], which a person writes into a file, and the first
// content of its [Site] (networks, configs, devices), which is imported once and edited in the console from then on.
//
// Both are YAML, read strictly: a key that is unknown or stands twice, an anchor, and a value of the wrong kind are
// errors with file, line and remedy, and one reading reports all of them.
//
// The package knows the words of the files and nothing of what they configure: it imports no other package of the
// project, and what a MAC address or a DHCP option may look like is checked where the content is imported. Each item
// carries its line, so that errors found there can name it, too.
package configs
