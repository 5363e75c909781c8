"""Training: configuration, data, stages, checkpoints."""

from .checkpoint import CheckpointError as CheckpointError
from .trained_model import TrainedModel as TrainedModel
from .trainer import train as train
from .training_config import ConfigError as ConfigError
from .training_config import TrainingConfig as TrainingConfig
