"""Stand-ins for the two strangers that a call depends on: a FreeSWITCH and a realtime model."""
