"""What a face shows besides who it is: quality; further attributes join here."""
