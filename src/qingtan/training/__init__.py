"""Training: pretraining and supervised fine-tuning in one trainer."""
