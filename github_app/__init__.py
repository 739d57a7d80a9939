"""github_app"""
