"""What the command line says of flags: completion, slips, and flags of other tools."""
