"""FusionPBX: our extension among its dialplans, and what it keeps of them."""
