package dev.vbn.examples.segan;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import javax.sound.sampled.AudioFileFormat;
import javax.sound.sampled.AudioFormat;
import javax.sound.sampled.AudioInputStream;
import javax.sound.sampled.AudioSystem;
import javax.sound.sampled.UnsupportedAudioFileException;

/** Sound of one channel and 16 bits, from and to {@code .wav} files. */
final class Wav {
  private static final AudioFormat FORMAT = new AudioFormat(Speech.RATE, 16, 1, true, false);
  private static final float FULL = 32767;

  private Wav() {}

  static void write(Path file, float[] samples) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(2 * samples.length).order(ByteOrder.LITTLE_ENDIAN);
    for (float sample : samples) {
      bytes.putShort((short) Math.round(FULL * Math.max(-1, Math.min(1, sample))));
    }
    try (AudioInputStream in =
        new AudioInputStream(new ByteArrayInputStream(bytes.array()), FORMAT, samples.length)) {
      AudioSystem.write(in, AudioFileFormat.Type.WAVE, file.toFile());
    }
  }

  static float[] read(Path file) throws IOException {
    try (AudioInputStream in = AudioSystem.getAudioInputStream(file.toFile())) {
      if (!in.getFormat().matches(FORMAT)) {
        throw new IOException(file + " is " + in.getFormat() + "; expected " + FORMAT);
      }
      ByteBuffer bytes = ByteBuffer.wrap(in.readAllBytes()).order(ByteOrder.LITTLE_ENDIAN);
      float[] samples = new float[bytes.capacity() / 2];
      for (int i = 0; i < samples.length; i++) {
        samples[i] = bytes.getShort(2 * i) / FULL;
      }
      return samples;
    } catch (UnsupportedAudioFileException e) {
      throw new IOException(file + " is no sound that is read here; expected " + FORMAT, e);
    }
  }
}
