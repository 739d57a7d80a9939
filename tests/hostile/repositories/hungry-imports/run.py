"""A requirements file that names a place."""

print("never runs")
