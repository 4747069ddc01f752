package dev.vbn.testing;

/** Throws what a test was given, of whatever type. */
public final class Throwing {
  private Throwing() {}

  /** Throws {@code failure} as it is; the return type is for {@code throw} statements. */
  public static RuntimeException unchecked(Throwable failure) {
    throw Throwing.<RuntimeException>asUnchecked(failure);
  }

  @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"}) // the compiler is to be misled
  private static <X extends Throwable> X asUnchecked(Throwable failure) throws X {
    throw (X) failure;
  }
}
