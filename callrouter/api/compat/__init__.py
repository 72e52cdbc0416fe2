"""The 2010-04-01 API, as the field's official clients speak it."""
