"""Reality as a Service: Gym environments that run in simulation here and on a real robot there."""
