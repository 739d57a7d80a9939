"""A requirements file nobody can satisfy."""

print("never runs")
