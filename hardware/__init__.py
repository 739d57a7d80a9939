"""The pendulum: its driver, its limits, and the controller that owns it."""
