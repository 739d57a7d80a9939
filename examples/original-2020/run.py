import gym
import gym_raas
import numpy as np

env = gym.make("raaspendulum-v0")
env.reset()

best = -1.0
for i in range(400):
    x, y, thetadot = env._get_obs()
    # push with the motion to swing up
    torque = 2.0 if thetadot >= 0 else -2.0
    observation, reward, done, info = env.step([torque])
    env.render()
    best = max(best, observation[0])

print("highest point: cos(theta) = {:.2f}".format(best))
print("hardware:", env.hardware, "state:", np.round(env.state, 2))
env.close()
