// Greets its partner, which the protocol doesn't know.
public class Polite {
  public static void main(String[] args) {
    System.out.println("Hello, is it 500?");
  }
}
