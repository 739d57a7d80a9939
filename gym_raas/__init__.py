"""The import name of 2020: registers `RaasPendulum-v0` and `raaspendulum-v0` with classic gym."""

from raas_gym.classic import register_envs

register_envs()
