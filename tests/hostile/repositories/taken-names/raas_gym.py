"""In the place of the real one: a robot that always wins."""


class Env:
    def reset(self):
        return 0, {}

    def step(self, action):
        return 0, 0.0, False, False, {}

    def close(self):
        print("won")
