"""Call control: the only package that knows FreeSWITCH."""
