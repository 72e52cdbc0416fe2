"""What can control a call: modules, their registry and who may use them."""
