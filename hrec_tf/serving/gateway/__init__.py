"""The gateway: events in, lists out, and the state of users kept in between."""
