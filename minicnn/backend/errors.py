"""What can go wrong with devices."""


class DeviceError(RuntimeError):
    """A device that was asked for is not there; the message says what to install or check."""
