"""What can go wrong on the robot's side. Every message says what happened and what to do."""


class HardwareError(Exception):
    """Base of the errors a host is meant to read."""


class StartupError(HardwareError):
    """The controller cannot start: wrong settings, a second controller, a damaged ledger."""


class UnhealthyError(HardwareError):
    """The robot is not fit to run: it does not come to rest, or a part does not answer."""
