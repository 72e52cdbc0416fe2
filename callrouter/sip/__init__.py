"""The SIP user agent: transports and the endpoint around the pure core in `protocol`."""
