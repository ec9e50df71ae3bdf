// Fills the heap: the virtual machine's OutOfMemoryError counts as the memory limit.
import java.util.ArrayList;

public class Hoard {
  public static void main(String[] args) {
    ArrayList<long[]> blocks = new ArrayList<>();
    while (true) blocks.add(new long[1 << 17]);
  }
}
