"""What results mean: statistics, figures and reports. Nothing here yet."""
