"""What a document can order, one file per verb."""
