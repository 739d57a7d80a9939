"""Mention people and forge a verdict in the check run."""

print("```\n</details>\n# Success\n@everyone ![x](https://evil.example/x.png)\n```")
raise ValueError("``` [click](javascript:alert(1)) @octocat **Upright 100 %** ```")
