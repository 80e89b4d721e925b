"""Interruptions of Keras' `fit` for tests of resuming."""

from featx.backbones._keras import import_keras


class Interruption(BaseException):
    """Stands for a kill: nothing catches it."""


def fit_with(monkeypatch, *callbacks):
    """Let every fit call further Keras callbacks."""
    model = import_keras().Model
    original = model.fit

    def fit(self, *arguments, **settings):
        settings["callbacks"] = [*settings["callbacks"], *callbacks]
        return original(self, *arguments, **settings)

    monkeypatch.setattr(model, "fit", fit)


def interrupt_in(monkeypatch, epoch):
    """Raise an Interruption after the first step of an epoch, counted from 0."""
    reached = []

    def begin(number, logs=None):
        reached.append(number)

    def step(batch, logs=None):
        if reached[-1] == epoch:
            raise Interruption

    callback = import_keras().callbacks.LambdaCallback
    fit_with(monkeypatch, callback(on_epoch_begin=begin, on_train_batch_end=step))
    return reached


def no_training(*arguments, **settings):
    """Stand in for a fit that must not run."""
    raise AssertionError("fit ran")
