"""What `manage.py send` is made of: lines of a file, requests, the record of how far it came, the sums."""
