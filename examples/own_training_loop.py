"""A training loop of your own: forward, loss, backward, step. Run it: python examples/own_training_loop.py"""

import numpy as np

from minicnn import config, data, functions, no_grad, zoo
from minicnn.data.images import prepare
from minicnn.training import Adam


def main(epochs: int = 3, batch_size: int = 32) -> float:
    """Trains LeNet-5 on the embedded digits and returns the test accuracy."""
    config.set_random_seed(0)
    digits = data.load("digits")
    model = zoo.build("lenet5")
    x_train, x_test = (prepare(x, model.input_shape[1:], digits.top) for x in (digits.x_train, digits.x_test))
    optimizer = Adam(learning_rate=1e-3)
    optimizer.build(model.trainable_weights)

    for epoch in range(epochs):
        losses = []
        order = config.generator("my order", epoch).permutation(len(x_train))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            probabilities = model(x_train[batch], training=True)
            # A softmax remembers its logits: from them the cross-entropy is exact.
            loss = functions.softmax_cross_entropy(probabilities.logits, digits.y_train[batch]).mean()
            loss.backward()
            optimizer.step()  # moves the weights and takes their gradients away
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")

    with no_grad():
        predicted = model(x_test).numpy().argmax(axis=-1)
    accuracy = float((predicted == digits.y_test).mean())
    print(f"test accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
