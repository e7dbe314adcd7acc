"""What users do: check, write, announce."""
