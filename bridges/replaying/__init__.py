"""Running a time of `notifications.raw` again: what is read of it, what is known of it, what is done with it."""
