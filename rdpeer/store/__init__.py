"""What lies in the profile folder: identity, secrets, pins, authorized peers."""
