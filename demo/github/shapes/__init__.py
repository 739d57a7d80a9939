"""GitHub's JSON: functions from the stand-in's state to what the API and the webhooks send."""
