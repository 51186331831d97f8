"""What stands between an inside and an outside: NAT boxes, IPv6 firewalls, UPnP gateways."""
