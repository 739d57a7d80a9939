"""Ours, says the name."""
print("BREACH: sitecustomize")
