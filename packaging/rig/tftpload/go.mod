// A module of its own: a measuring tool is no part of the program.
module github.com/dialtone-project/dialtone/packaging/rig/tftpload

go 1.26.0
