"""What ``bench/on_gpu.py`` measures. All that is in here may decode pictures, in any process."""

from gpu.plain_jpeg import stand_in

stand_in()
