"""The path under a link: ICE over UDP ports. Only this room touches aioice."""
