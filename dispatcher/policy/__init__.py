"""PURE: the rules that judge a transfer of control, in their fixed order."""
