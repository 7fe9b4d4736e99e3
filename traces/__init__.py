"""What was recorded, or is to be replayed: columnar tables that know no hardware and no torch."""
