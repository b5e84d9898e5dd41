# RouterOS 7 tells dialtone of its leases by SSH, as a user whose key may do nothing else (see README.md). Put the router's
# private key into its files and import it, once:
#
#   /user ssh-keys private import user=admin private-key-file=dialtone
#
# The server's lease-script tells of each lease that begins or ends, the scheduler of all that go on: RouterOS doesn't run
# the script for renewals. What a client chose itself stands first, where it can't overrule what follows. Change the address and the name of the DHCP server.

/ip dhcp-server set [find name=defconf] lease-script={
  :local event "released"
  :local class ""
  :if ($leaseBound = 1) do={
    :set event "bound"
    :set class [/ip dhcp-server lease get [find address=$leaseActIP] class-id]
  }
  /system ssh-exec address=192.0.2.1 user=lease-event command="--vendor-class '$class' --event $event --ip $leaseActIP --mac $leaseActMAC"
}

/system script add name=dialtone-leases policy=read,write,test source={
  :foreach l in=[/ip dhcp-server lease find status=bound] do={
    :local ip [/ip dhcp-server lease get $l active-address]
    :local mac [/ip dhcp-server lease get $l active-mac-address]
    /system ssh-exec address=192.0.2.1 user=lease-event command="--event bound --ip $ip --mac $mac"
  }
}
/system scheduler add name=dialtone-leases interval=1h start-time=startup on-event=dialtone-leases
