"""What the hardware is: frozen, validated specifications. No time passes here."""
