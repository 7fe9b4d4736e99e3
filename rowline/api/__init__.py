"""What ``import rowline as rl`` offers to notebooks and scripts: runs, studies, logs and comparisons with tables and plots."""
