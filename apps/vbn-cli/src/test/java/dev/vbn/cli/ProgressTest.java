package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ProgressTest {
  @AfterEach
  void noTerminal() {
    System.clearProperty(Progress.PROPERTY);
  }

  private static String shown(String what) {
    StringWriter terminal = new StringWriter();
    new Progress(new PrintWriter(terminal)).show(what);
    return terminal.toString();
  }

  @Test
  void staysWithinTheTerminal() {
    System.setProperty(Progress.PROPERTY, "12");
    assertEquals("\rreading a  ", shown("reading a").substring(0, 12));
    assertEquals("\rreading a v", shown("reading a very long name"));
  }

  @Test
  void countsColumnsAndNotCharacters() {
    assertEquals("\u6570\u636e a ", Progress.fit("\u6570\u636e a", 7));
    assertEquals("\u6570 ", Progress.fit("\u6570\u636e", 3));
    assertEquals("e\u0301x  ", Progress.fit("e\u0301x", 4));
    assertEquals("\ud83d\ude00a", Progress.fit("\ud83d\ude00ab", 3));
  }

  @Test
  void aNameCannotLeaveTheLine() {
    System.setProperty(Progress.PROPERTY, "12");
    assertEquals("\ra b        ", shown("a\n\rb"));
  }

  @Test
  void showsNothingWithoutATerminal() {
    assertEquals("", shown("reading"));
  }
}
