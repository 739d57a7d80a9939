"""The web pages: enough of GitHub's to see what an App says, to comment, and to press its buttons."""
