package dev.vbn.cli.demo;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.imageio.ImageIO;

/** Plain pixels, which need no graphics environment and no fonts. Colours are {@code 0xrrggbb}. */
public final class Canvas {
  private static final int WHITE = 0xffffff;

  private final BufferedImage image;

  /** A white one. */
  public Canvas(int width, int height) {
    image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    fill(0, 0, width, height, WHITE);
  }

  /** Fills a rectangle. */
  public void fill(int left, int top, int width, int height, int colour) {
    for (int y = top; y < top + height; y++) {
      for (int x = left; x < left + width; x++) {
        image.setRGB(x, y, colour);
      }
    }
  }

  /** Draws a frame of one pixel around a rectangle. */
  public void frame(int left, int top, int width, int height, int colour) {
    fill(left - 1, top - 1, width + 2, 1, colour);
    fill(left - 1, top + height, width + 2, 1, colour);
    fill(left - 1, top, 1, height, colour);
    fill(left + width, top, 1, height, colour);
  }

  /** Writes a text in {@link PixelFont}, {@code scale} pixels per dot. */
  public void text(String text, int left, int top, int scale, int colour) {
    PixelFont.draw(this, text, left, top, scale, colour);
  }

  /** Writes the picture as PNG. */
  public void write(Path file) throws IOException {
    ImageIO.setUseCache(false);
    try (OutputStream out = Files.newOutputStream(file)) {
      if (!ImageIO.write(image, "png", out)) {
        throw new IOException("this Java runtime has no PNG writer");
      }
    }
  }

  /** The colour {@code share} of the way, clipped to 0 to 1, between two. */
  public static int blend(int from, int to, double share) {
    double clipped = Math.max(0, Math.min(1, share));
    int colour = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
      int start = from >> shift & 0xff;
      int end = to >> shift & 0xff;
      colour |= (int) Math.round(start + clipped * (end - start)) << shift;
    }
    return colour;
  }
}
