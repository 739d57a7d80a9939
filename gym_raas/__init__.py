"""gym_raas"""
