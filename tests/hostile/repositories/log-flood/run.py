"""Print without end."""

print("first", flush=True)
while True:
    print("x" * 1000)
