"""Who answers the phone: personas, one TOML file each."""
