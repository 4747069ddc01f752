package dev.vbn.cuda;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** Tests on the emulated driver, as a fresh process has it before each and after it. */
abstract class OnEmulator {
  Emulator.Controls emulator;

  @BeforeEach
  final void startFresh() {
    emulator = Emulator.controls();
  }

  @AfterEach
  final void leaveFresh() {
    if (emulator != null) {
      emulator.reset();
    }
  }
}
