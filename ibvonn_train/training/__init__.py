"""Training: configuration, data, stages, checkpoints."""

from .checkpoint import CheckpointError as CheckpointError
from .config import ConfigError as ConfigError
from .config import TrainingConfig as TrainingConfig
from .trained import TrainedModel as TrainedModel
from .trainer import train as train
